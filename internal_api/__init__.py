"""Token-gated HTTP for workers, system playbooks, autoscalers and operators."""
