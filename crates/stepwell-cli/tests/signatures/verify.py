# Says of each delivery whether Standard Webhooks' own library verifies it.
import json
import sys

from standardwebhooks import Webhook, WebhookVerificationError

for line in sys.stdin:
    delivery = json.loads(line)
    try:
        told = Webhook(delivery["secret"]).verify(delivery["body"], delivery["headers"])
        print("verified" if told == json.loads(delivery["body"]) else "verified, but read as something else")
    except WebhookVerificationError as error:
        print(f"refused: {error}")
