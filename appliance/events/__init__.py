"""What happened on this host: gathered without anybody waiting for it, kept, and handed to who looks.

In the order that an event passes:

- `detections`  which detections are news, and which are told again
- `outbreak`    one threat in many places within a short time
- `budget`      how much of what is kept one guest may fill
- `log`         the queue, the writer that commits batches, and who follows

The file is `state.events`. What of the SVM's parts becomes an event stands in `appliance/witness.py`.
"""
