"""The parts of a tunnel on their own, as the baseline of a machine.

    without_cipher   pyfw with datagrams in the clear
    bare             TUN to UDP and back, and nothing else
    cipher           sealing and opening alone

Benchmarks run them as processes through `lab.baseline`. They need a pyfw that is built with the cargo feature
`bench`. No configuration file or option of pyfw leads here.
"""
