import { describe, expect, test } from "vitest";
import type { Session } from "../../src/api/types";
import { CLOSE } from "../../src/stream/frames";
import { pause, type LinkState } from "../../src/stream/link";
import { heard, NOTHING, reasonOf, stageOf, wantsTunnel, wayOf, withLink, withSessions, type State } from "../../src/session/state";
import { bytes, duration, moment } from "../../src/words";

const session = (more: Partial<Session> = {}): Session => ({
  sessionId: "s1", name: "ada-abc234", endpoint: "https://ada-abc234.users.example.org", live: true, desktop: false, started: "2030-01-01T00:00:00Z",
  ended: null, reason: null, seconds: 0, bytesIn: 0, bytesOut: 0, tunnel: null, ...more,
});
const OPEN: LinkState = { phase: "open", failures: 0 };
const lost = (failures: number): LinkState => ({ phase: "waiting", failures, until: 0 });
const running = (more: Partial<Session> = {}): State => withSessions(NOTHING, [session(more)]);

describe("how far the way is open", () => {
  test("from nothing to a desktop that answers", () => {
    expect(stageOf(NOTHING)).toBe("loading");
    expect(stageOf(withSessions(NOTHING, [session({ live: false })]))).toBe("none");
    let state = running();
    expect(stageOf(state)).toBe("connecting");
    state = withLink(state, { phase: "connecting", failures: 0 });
    expect(stageOf(state)).toBe("connecting");
    state = withLink(state, OPEN);
    expect(stageOf(state)).toBe("connecting"); // the desktop has not been asked
    state = heard(state, "cloud", "away", null, null);
    expect(stageOf(state)).toBe("waiting");
    state = heard(state, "cloud", "here", { dialect: "ollama", names: ["m"] }, null);
    expect([stageOf(state), wayOf(state)]).toEqual(["connected", "cloud"]);
  });

  test("a connection that is lost says nothing of the desktop, and the models are remembered", () => {
    const state = withLink(heard(withLink(running(), OPEN), "cloud", "here", { dialect: "ollama", names: ["m"] }, null), lost(1));
    expect([stageOf(state), wayOf(state), state.models?.names]).toEqual(["lost", null, ["m"]]);
    expect(stageOf(withLink(state, OPEN))).toBe("connecting");
  });

  test("another session knows nothing of the one before", () => {
    const before = heard(withLink(running(), OPEN), "cloud", "here", { dialect: "ollama", names: ["m"] }, null);
    const after = withSessions(before, [session({ sessionId: "s2" }), session({ live: false })]);
    expect([stageOf(after), after.models]).toEqual(["connecting", null]);
    expect(withSessions(before, [session({ bytesIn: 5 })]).models).not.toBeNull();
  });
});

describe("the tunnel", () => {
  const tunnel = "https://quiet.ngrok.app";

  test("is tried when the proxy cannot be had, and used when it answers", () => {
    const state = withLink(running({ tunnel }), lost(1));
    expect([wantsTunnel(state), wayOf(state)]).toEqual([true, null]);
    const up = heard(state, "tunnel", "here", null, null);
    expect([stageOf(up), wayOf(up)]).toEqual(["connected", "tunnel"]);
  });

  test("is tried when the proxy is there and the desktop behind it is not", () => {
    const state = heard(withLink(running({ tunnel }), OPEN), "cloud", "away", null, null);
    expect(wantsTunnel(state)).toBe(true);
    expect(wayOf(state)).toBe("cloud");
    expect(wayOf(heard(state, "tunnel", "here", null, null))).toBe("tunnel");
  });

  test("is left when the proxy is back", () => {
    const state = heard(withLink(running({ tunnel }), lost(1)), "tunnel", "here", null, null);
    expect(wayOf(heard(withLink(state, OPEN), "cloud", "here", null, null))).toBe("cloud");
  });

  test("is not tried at the first attempt, nor where there is none", () => {
    expect(wantsTunnel(withLink(running({ tunnel }), { phase: "connecting", failures: 0 }))).toBe(false);
    expect(wantsTunnel(withLink(running(), lost(5)))).toBe(false);
  });
});

describe("after a connection that was closed", () => {
  test("a token that is refused is replaced at once, but not for ever", () => {
    for (const code of [CLOSE.badToken, CLOSE.expired, CLOSE.replay]) {
      expect(pause(code, 1, 0.5)).toBe(0);
      expect(pause(code, 2, 0.5)).toBe(2000);
    }
  });

  test("longer and longer, never for more than 19 s, and not all at once", () => {
    expect([1, 2, 3, 4, 5, 50].map((failures) => pause(1006, failures, 0.5))).toEqual([1000, 2000, 4000, 8000, 15_000, 15_000]);
    expect([pause(1006, 5, 0), pause(1006, 5, 1)]).toEqual([11_250, 18_750]);
  });

  test("who is not wanted does not come again", () => {
    expect(pause(CLOSE.wrongSession, 1, 0.5)).toBeNull();
    expect(pause(CLOSE.busy, 1, 0.5)).toBe(15_000);
  });
});

describe("words", () => {
  test.each([[0, "0 B"], [999, "999 B"], [1000, "1.0 kB"], [9949, "9.9 kB"], [9960, "10 kB"], [999_499, "999 kB"], [999_600, "1.0 MB"], [48_200_000, "48 MB"], [3e15, "3000 TB"]])("%i bytes", (count, said) => {
    expect(bytes(count)).toBe(said);
  });

  test.each([[0, "0 s"], [59.9, "59 s"], [60, "1 min"], [3599, "59 min"], [3900, "1 h 05 min"], [183_600, "2 d 3 h"]])("%f seconds", (seconds, said) => {
    expect(duration(seconds)).toBe(said);
  });

  test("the day, unless it is today's", () => {
    const now = new Date(2030, 4, 7, 18).getTime();
    expect(moment(new Date(2030, 4, 7, 9, 5).getTime(), now)).toMatch(/^0?9:05( AM)?$/);
    expect(moment(new Date(2030, 4, 6, 9, 5).getTime(), now)).toMatch(/6.*9:05/);
  });

  test("why a session ended", () => {
    expect(reasonOf(session({ live: false, reason: "idle" }))).toBe("10 minutes without use");
    expect(reasonOf(session({ live: false, reason: "swept_at_start" }))).toBe("swept at start");
    expect(reasonOf(session({ live: false }))).toBe("not known");
  });
});
