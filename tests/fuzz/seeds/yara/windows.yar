/* only Windows programs */
private rule Magic { condition: uint16(0) == 0x5A4D }
rule Windows { condition: Magic and pe.number_of_sections > 1 and math.entropy(0, filesize) > 7.0 // odd
}
include "other.yar"
