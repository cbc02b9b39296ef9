// The explorer as a page: the front end on a websocket, the shared state in the address.

import explorer from "./explorer.js";

// What a notebook's widget model is, on a websocket.
function model(url) {
  const listeners = new Set();
  const socket = new WebSocket(url);
  socket.binaryType = "arraybuffer";
  const queue = [];
  const tell = (content, buffers) => listeners.forEach((f) => f(content, buffers));
  socket.onopen = () => queue.splice(0).forEach((text) => socket.send(text));
  socket.onmessage = ({ data }) => {
    const length = new DataView(data).getUint32(0, true);
    const content = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    tell(content, [new DataView(data, 4 + length)]);
  };
  socket.onclose = ({ reason }) => tell({ type: "closed", reason }, []);
  return {
    on: (name, f) => name === "msg:custom" && listeners.add(f),
    off: (name, f) => listeners.delete(f),
    send: (content) => {
      const text = JSON.stringify(content);
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
      else if (socket.readyState === WebSocket.CONNECTING) queue.push(text);
    },
    share: (query) => history.replaceState(null, "", `#${query}`),
  };
}

const LONGEST = 2100; // of a shared state: what is longer is refused, whatever the rest says
const shared = () => location.hash.slice(1, LONGEST);
const own = model(`ws://${location.host}/socket?state=${encodeURIComponent(shared())}`);
addEventListener("hashchange", () => own.send({ type: "load", query: shared() }));
explorer.render({ model: own, el: document.getElementById("explorer") });
