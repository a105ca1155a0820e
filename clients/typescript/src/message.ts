import { StepwellError, Unreachable } from "./errors.js";

/** A message of an event stream (WHATWG HTML, 9.2). */
export interface Message {
  /** The place after it; empty if none was said yet. */
  id: string;
  /** Empty if it only moves the place. */
  data: string;
  type: string;
  /** How long to wait before coming again, if the server has said so with this message. */
  retryMs?: number;
}

// The largest event is much smaller. More than that without an end is no event stream.
const PENDING_CHARACTERS_MAX = 16 * 1024 * 1024;

/** Takes the bytes of an event stream apart. `onBytes` hears of all that comes, comments as well. */
export async function* messages(
  body: ReadableStream<Uint8Array>,
  onBytes: () => void,
): AsyncGenerator<Message, void, void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let pending = "";
  let lastId = "";
  let message: Message = { id: "", data: "", type: "" };
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw new Unreachable("the event stream broke off", { cause: error });
      });
      if (done) {
        return;
      }
      onBytes();
      pending += decoder.decode(value, { stream: true });
      // A carriage return at the end may be half of a line's end.
      const end = pending.endsWith("\r") ? pending.length - 1 : pending.length;
      const lines = pending.slice(0, end).split(/\r\n|\n|\r/);
      pending = (lines.pop() ?? "") + pending.slice(end);
      if (pending.length + message.data.length > PENDING_CHARACTERS_MAX) {
        throw new StepwellError(`a message is longer than ${PENDING_CHARACTERS_MAX} characters`);
      }
      for (const line of lines) {
        if (line !== "") {
          read(line, message);
          continue;
        }
        lastId = message.id || lastId;
        yield { ...message, id: lastId, data: message.data.replace(/\n$/, "") };
        message = { id: "", data: "", type: "" };
      }
    }
  } finally {
    // Whoever stops listening ends the connection with it.
    await reader.cancel().catch(() => {});
  }
}

function read(line: string, message: Message): void {
  const colon = line.indexOf(":");
  const field = colon < 0 ? line : line.slice(0, colon);
  const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
  if (field === "data") {
    message.data += `${value}\n`;
  } else if (field === "event") {
    message.type = value;
  } else if (field === "id" && !value.includes("\0")) {
    message.id = value;
  } else if (field === "retry" && /^[0-9]+$/.test(value)) {
    message.retryMs = Number(value);
  }
}
