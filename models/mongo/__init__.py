"""The stores on MongoDB."""

from models.mongo.connection import MongoStores, connect
from models.mongo.schema import SchemaError

__all__ = ["MongoStores", "SchemaError", "connect"]
