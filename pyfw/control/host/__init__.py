"""What a tunnel changes on its host: link, addresses, routes, rules, firewall, name servers."""
