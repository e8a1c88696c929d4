"""Prints alerts as they open and grow: python3 follow.py BROKERS  (needs the package confluent-kafka)"""

import json
import sys

from confluent_kafka import Consumer

consumer = Consumer({"bootstrap.servers": sys.argv[1], "group.id": "follow", "auto.offset.reset": "latest"})
consumer.subscribe(["alerts"])
revisions = {}
while True:
    message = consumer.poll(1.0)
    if message is None or message.error() or message.value() is None:
        continue
    alert = json.loads(message.value())
    # At least once: what is no news is passed over.
    if alert["revision"] > revisions.get(alert["alert_id"], 0):
        revisions[alert["alert_id"]] = alert["revision"]
        print(alert["at"], alert["severity"], alert["state"], alert["rule"], alert["explanation"], flush=True)
