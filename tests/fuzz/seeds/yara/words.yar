import "pe"
import "math"
rule Words : pua {
  meta:
    disposition = "suspicious"
  strings:
    $a = "good word" nocase wide ascii fullword xor(0x01-0xff)
    $b = { 4D 5A ?? [2-4] ( 00 | FF ) }
    $c = /ab{1,3}[a-z]+c?(d|e)/i
  condition:
    uint16(0) == 0x5A4D and filesize < 2MB and any of them or for all i in (1..#a) : (@a[i] < 100)
}
