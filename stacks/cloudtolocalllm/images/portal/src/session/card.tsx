import { useEffect, useState } from "react";
import type { Session } from "../api/types";
import { CopyButton } from "../page/parts/copy";
import { useStore } from "../page/store";
import { bytes, duration, moment } from "../words";
import type { Desk } from "./desk";
import { Path } from "./path";
import { liveOf, stageOf, wayOf, type Stage, type Way } from "./state";

export const WAYS: Record<Way, string> = { cloud: "cloud proxy", tunnel: "ngrok tunnel" };

/** Whether a session runs, how far its way is open, and what is to be done next. */
export function SessionCard({ desk }: { desk: Desk }) {
  const state = useStore(desk.state, (value) => value);
  const live = liveOf(state);
  return (
    <section className="card-box" aria-labelledby="own-session">
      <div className="flex flex-wrap items-center gap-x-3 gap-y-2">
        <h1 id="own-session" className="text-xl font-semibold tracking-tight">Your session</h1>
        {state.sessions && <span className="badge" data-mood={live ? "good" : "off"}>{live ? "Running" : "Not running"}</span>}
        {live && (
          <button type="button" className="secondary ml-auto" disabled={state.doing !== null} onClick={() => void desk.stop()}>
            {state.doing === "stopping" ? "Stopping…" : <span>Stop<span className="max-sm:sr-only"> the session</span></span>}
          </button>
        )}
      </div>
      <div role="alert">{state.trouble !== null && <p className="note danger mt-4">{state.trouble}</p>}</div>
      {live ? <Running desk={desk} session={live} /> : state.sessions ? <Idle desk={desk} /> : <div className="skeleton mt-5 h-72" />}
    </section>
  );
}

function Idle({ desk }: { desk: Desk }) {
  const doing = useStore(desk.state, (state) => state.doing);
  return (
    <>
      <p className="mt-3 max-w-prose text-pretty text-muted">
        A session leads from this browser to the models on your own desktop, through a small proxy that is yours alone and keeps
        nothing. It ends by itself after ten minutes without use.
      </p>
      <button type="button" className="primary mt-5" disabled={doing !== null} onClick={() => void desk.start()}>
        {doing === "starting" ? "Starting…" : "Start a session"}
      </button>
    </>
  );
}

const SAID: Record<Stage, [heading: string, text: string]> = {
  loading: ["", ""],
  none: ["", ""],
  connecting: ["Connecting to your proxy…", "This takes a few seconds. Meanwhile, run this on your desktop:"],
  lost: ["The connection to your proxy was lost", "It is made again by itself. The bridge on your desktop can stay as it is:"],
  waiting: ["Waiting for your desktop", "Run this where your models are, and leave it running:"],
  connected: ["Your desktop is connected", "It stays so for as long as this runs there:"],
};

function Running({ desk, session }: { desk: Desk; session: Session }) {
  const stage = useStore(desk.state, stageOf);
  const complaint = useStore(desk.state, (state) => state.complaint);
  const [heading, text] = SAID[stage];
  const command = `ctl bridge --to ${location.origin}`;
  return (
    <>
      <Path desk={desk} />
      <div role="status">
        <h2 className="flex items-center gap-2.5 font-semibold"><span className="dot" data-stage={stage} />{heading}</h2>
        <p className="mt-0.5 text-muted">{stage === "connected" && complaint !== null ? complaint : text}</p>
      </div>
      <div className="command">
        <code>{command}</code>
        <CopyButton text={command} label="Copy the command" />
      </div>
      <Facts desk={desk} session={session} />
    </>
  );
}

function Facts({ desk, session }: { desk: Desk; session: Session }) {
  const way = useStore(desk.state, (state) => (stageOf(state) === "connected" ? wayOf(state) : null));
  const now = useNow(10_000);
  const started = Date.parse(session.started);
  return (
    <dl className="facts">
      <div><dt>Started</dt><dd>{moment(started, now)}</dd></div>
      <div><dt>Lasts for</dt><dd>{duration(Math.max(session.seconds, (now - started) / 1000, 0))}</dd></div>
      <div><dt>Carried</dt><dd>{bytes(session.bytesIn + session.bytesOut)}</dd></div>
      <div><dt>In use</dt><dd>{way ? WAYS[way] : "–"}</dd></div>
    </dl>
  );
}

/** The time, every `ms`. */
function useNow(ms: number): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), ms);
    return () => clearInterval(timer);
  }, [ms]);
  return now;
}
