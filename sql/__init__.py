"""Migrations, named queries and the small runner that applies them."""
