"""The topics on the broker."""

SAMPLES = "samples"
ROLLUPS = "rollups"
VERDICTS = "verdicts"
INCIDENTS = "incidents"  # incidents and feedback, to every stream worker
ALERTS = "alerts"
EVENTS_JSON = "events.json"  # the user's own producers
EVENTS_REJECTED = "events.rejected"

# Partitioned by entity; the others have one partition each.
PARTITIONED = (SAMPLES, ROLLUPS, VERDICTS, EVENTS_JSON)
ALL = (SAMPLES, ROLLUPS, VERDICTS, INCIDENTS, ALERTS, EVENTS_JSON, EVENTS_REJECTED)
