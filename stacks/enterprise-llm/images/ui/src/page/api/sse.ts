/** Server-sent events out of a stream of bytes, cut anywhere: inside a line end, inside a character. */

export interface ServerEvent {
  event: string;
  data: string;
}

export interface SseParser {
  /** The events that these bytes complete. */
  push(bytes: Uint8Array): ServerEvent[];
}

export function sseParser(): SseParser {
  const decoder = new TextDecoder("utf-8"); // drops the byte order mark, which is what the format wants
  let rest = "";
  let name = "";
  let data: string[] = [];

  /** A line without its end; an empty one ends the event. */
  function take(line: string): ServerEvent | null {
    if (line === "") {
      const event = data.length > 0 ? { event: name || "message", data: data.join("\n") } : null;
      name = "";
      data = [];
      return event;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return null; // a comment, which keeps the connection
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
    return null;
  }

  return {
    push(bytes) {
      rest += decoder.decode(bytes, { stream: true });
      const events: ServerEvent[] = [];
      let start = 0;
      for (;;) {
        const end = lineEnd(rest, start);
        if (end === null) break;
        const event = take(rest.slice(start, end.at));
        if (event) events.push(event);
        start = end.next;
      }
      rest = rest.slice(start);
      return events;
    },
  };
}

/** Where the line that begins at `start` ends. A CR that is the last character seen may be the half of a CRLF: not an end yet. */
function lineEnd(text: string, start: number): { at: number; next: number } | null {
  for (let i = start; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 10) return { at: i, next: i + 1 };
    if (c === 13) {
      if (i + 1 === text.length) return null;
      return { at: i, next: text.charCodeAt(i + 1) === 10 ? i + 2 : i + 1 };
    }
  }
  return null;
}
