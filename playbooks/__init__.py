"""The platform's own playbooks and the examples, packaged as files."""
