"""Changes of a tunnel to its host: link, addresses, routes, rules, firewall, name servers."""
