"""The floor of a machine: what its tunnels cost without what makes them tunnels.

    without_cipher   pyfw as it is, its datagrams in the clear
    bare             TUN to UDP and back, and nothing between
    cipher           sealing and opening, alone

Run as processes by `pyfw bench` and `python -m bench.tunnel`, inside the lab; see __main__. Nothing
else leads here: no key of a file, no option of a command.
"""
