// Prints what an EventSource hears at the URL that it is given, as lines of JSON.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
for (const name of ["message", "news", "reload"]) {
  source.addEventListener(name, (event) => {
    console.log(JSON.stringify({ID: event.lastEventId, Name: event.type, Data: event.data}));
  });
}
