// A file to try the YARA engine with, end to end: it does nothing and nobody ships it.
// Make one:  printf 'KVM-LIGHT-AGENT-%s-TEST-FILE\n' YARA > test.txt

rule KvmLightAgent_Test_File
{
    meta:
        description = "The test file of KVM Light Agent's YARA engine"
        author = "KVM Light Agent"
    strings:
        $text = "KVM-LIGHT-AGENT-YARA-TEST-FILE"
    condition:
        filesize <= 128 and $text at 0
}

rule KvmLightAgent_Test_Unwanted : pua
{
    meta:
        description = "The same, for software that is unwanted rather than malicious"
        author = "KVM Light Agent"
    strings:
        $text = "KVM-LIGHT-AGENT-PUA-TEST-FILE"
    condition:
        filesize <= 128 and $text at 0
}
