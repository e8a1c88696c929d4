"""Reports an activity: python3 report.py BROKERS USER ACTION  (needs the package confluent-kafka)"""

import json
import sys
import uuid

from confluent_kafka import Producer

brokers, user, action = sys.argv[1:4]
producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True})
# An id of one's own makes it safe to send again.
activity = {"v": 1, "event_id": str(uuid.uuid4()), "user": user, "action": action}


def delivered(error, message):
    if error is not None:
        sys.exit(f"not delivered: {error}")


producer.produce("activity.in", json.dumps(activity), key=user, on_delivery=delivered)
producer.flush(30)
