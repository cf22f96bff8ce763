// Scripts that open a way in: reverse shells and web shells. Only whole idioms count, since words
// such as eval, system and socket are everybody's. Patterns of two or three bytes are avoided: one of
// them doubles the time of every scan.

rule Script_Reverse_Shell_Bash
{
    meta:
        description = "Interactive shell whose streams are tied to a TCP connection of bash"
        author = "KVM Light Agent"
    strings:
        $redirect = /\b(ba)?sh\s+-i\s*(>&|&>|<|>)\s*\/dev\/(tcp|udp)\/([0-9]{1,3}\.){3}[0-9]{1,3}\/[0-9]{1,5}/
        $exec = /exec\s+[0-9]{1,3}<>\s*\/dev\/tcp\/([0-9]{1,3}\.){3}[0-9]{1,3}\/[0-9]{1,5}\s*;\s*(ba)?sh\s+(-i\s*)?<&[0-9]/
        $fifo = /mkfifo\s+(\/tmp\/\S{1,40})\s*;\s*cat\s+\/tmp\/\S{1,40}\s*\|\s*(\/bin\/)?(ba)?sh\s+-i\s+2>&1\s*\|\s*(nc|ncat|netcat|openssl)\s/
    condition:
        filesize < 64KB and any of them
}

rule Script_Reverse_Shell_Interpreter
{
    meta:
        description = "Python, Perl, Ruby or PHP one-liner that ties a shell's streams to a socket"
        author = "KVM Light Agent"
    strings:
        $python_socket = /socket\.socket\(\s*socket\.AF_INET\s*,\s*socket\.SOCK_STREAM\s*\)\s*;?/
        $python_dup = /os\.dup2\(\s*\w{1,20}\.fileno\(\)\s*,\s*[012]\s*\)/
        $python_shell = /(subprocess\.call\(\s*\[|pty\.spawn\(\s*\[?)\s*["']\/bin\/(ba)?sh["']/
        $perl = /perl\s+-(MIO\s+-)?e\s+'[^\n]{0,200}Socket[^\n]{0,300}open\(STDIN,\s*">&S"\)\s*;\s*open\(STDOUT,\s*">&S"\)/
        $ruby = /ruby\s+-rsocket\s+-e\s*['"][^\n]{0,200}TCPSocket\.(open|new)\([^\n]{0,200}exec\s+sprintf\(["']\/bin\/sh\s+-i/
        $php = /fsockopen\(\s*["']?[^\n,]{1,80},\s*["']?[0-9]{1,5}["']?\s*\)\s*;\s*(exec|shell_exec|system|passthru|proc_open)\(\s*["']\/bin\/(ba)?sh\s+-i/
    condition:
        filesize < 64KB and ((all of ($python_*)) or $perl or $ruby or $php)
}

rule Script_Webshell_Php_Request_Runs
{
    meta:
        description = "PHP that runs what a request sends"
        author = "KVM Light Agent"
    strings:
        $php = "<?php" nocase
        $run = /\b(eval|assert|system|shell_exec|passthru|popen|proc_open|pcntl_exec)\s*\(\s*(@?(base64_decode|gzinflate|gzuncompress|str_rot13|stripslashes|trim|urldecode)\s*\(\s*){0,4}@?\$_(GET|POST|REQUEST|COOKIE|SERVER)\s*\[/ nocase
        $backtick = /(echo|=|print)\s*`\s*\{?\$_(GET|POST|REQUEST|COOKIE)\s*\[/ nocase
        $create = /create_function\s*\(\s*["'][^"']{0,40}["']\s*,\s*@?\$_(GET|POST|REQUEST|COOKIE)\s*\[/ nocase
        $call = /\b(call_user_func|array_map|preg_replace_callback)\s*\(\s*@?\$_(GET|POST|REQUEST|COOKIE)\s*\[[^\]]{1,40}\]\s*,\s*@?\$_(GET|POST|REQUEST|COOKIE)\s*\[/ nocase
        $variable = /\$_(GET|POST|REQUEST|COOKIE)\s*\[[^\]]{1,40}\]\s*\(\s*@?\$_(GET|POST|REQUEST|COOKIE)\s*\[/ nocase
    condition:
        filesize < 1MB and (uint16(0) == 0x3f3c or $php) and any of ($run, $backtick, $create, $call, $variable)
}

rule Script_Webshell_Php_Packed
{
    meta:
        description = "Small PHP file that unpacks and runs a long text of its own"
        author = "KVM Light Agent"
    strings:
        $php = "<?php" nocase
        $packed = /eval\s*\(\s*(gzinflate|gzuncompress|str_rot13|strrev)\s*\(\s*((str_rot13|strrev|gzinflate)\s*\(\s*){0,3}base64_decode\s*\(\s*["'][A-Za-z0-9+\/=]{200}/ nocase
    condition:
        filesize < 1MB and (uint16(0) == 0x3f3c or $php) and $packed
}

rule Script_Webshell_Jsp
{
    meta:
        description = "JSP that runs what a request sends"
        author = "KVM Light Agent"
    strings:
        $run = /getRuntime\(\)\s*\.\s*exec\(\s*(new\s+String(\[\])?\s*[({][^)}]{0,80})?request\s*\.\s*getParameter\(/
        $builder = /new\s+ProcessBuilder\([^;\n]{0,120}request\s*\.\s*getParameter\(/
    condition:
        filesize < 256KB and any of them
}

rule Script_Dropper_Cron_Miner
{
    meta:
        description = "Shell script that loads a program from the network, has cron do so again, and kills rival miners"
        author = "KVM Light Agent"
    strings:
        $load = /(curl|wget)\s[^\n]{0,120}https?:\/\/[^\n]{1,200}\|\s*(ba)?sh/
        $cron1 = "crontab -r"
        $cron2 = /\(crontab -l[^\n]{0,80}\)\s*\|\s*crontab -/
        $cron3 = "/var/spool/cron/"
        $rival1 = "pkill -f xmrig"
        $rival2 = "pkill -9 xmrig"
        $rival3 = "pkill -f kinsing"
        $rival4 = "pkill -f kdevtmpfsi"
        $rival5 = "killall xmrig"
        $rival6 = "kdevtmpfsi"
        $hide1 = "chattr -i /etc/ld.so.preload"
        $hide2 = "echo > /var/log/wtmp"
        $hide3 = "setenforce 0"
    condition:
        filesize < 256KB and $load and any of ($cron*) and any of ($rival*) and any of ($hide*)
}
