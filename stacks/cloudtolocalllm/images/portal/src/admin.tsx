import { useEffect, useState } from "react";
import type { Service } from "./api/service";
import type { AnyonesSession } from "./api/types";
import { aborted, words } from "./page/api/errors";
import { bytes, duration, moment } from "./words";

const POLL_MS = 5000;

/** All live sessions; for admins. */
export function AdminPage({ service }: { service: Service }) {
  const [sessions, setSessions] = useState<readonly AnyonesSession[] | null>(null);
  const [trouble, setTrouble] = useState<string | null>(null);
  useEffect(() => {
    const leaving = new AbortController();
    async function ask(): Promise<void> {
      try {
        setSessions(await service.everyones(leaving.signal));
        setTrouble(null);
      } catch (error) {
        if (!aborted(error)) setTrouble(words(error));
      }
    }
    void ask();
    const timer = setInterval(() => document.hidden || void ask(), POLL_MS);
    return () => {
      leaving.abort();
      clearInterval(timer);
    };
  }, [service]);
  return (
    <section className="card-box" aria-labelledby="everyone">
      <div className="flex items-center gap-3">
        <h1 id="everyone" className="text-xl font-semibold tracking-tight">All sessions</h1>
        {sessions && <span className="badge" data-mood={sessions.length > 0 ? "good" : "off"}>{sessions.length} running</span>}
      </div>
      <div role="alert">{trouble !== null && <p className="note danger mt-4">{trouble}</p>}</div>
      {sessions === null ? (
        trouble === null && <div className="skeleton mt-5 h-40" />
      ) : sessions.length === 0 ? (
        <p className="mt-2 text-muted">Nobody has a session at the moment.</p>
      ) : (
        <Sheet sessions={sessions} />
      )}
    </section>
  );
}

function Sheet({ sessions }: { sessions: readonly AnyonesSession[] }) {
  return (
    <table className="sheet">
      <thead>
        <tr><th scope="col">Who</th><th scope="col">Started</th><th scope="col" data-number>Lasts</th><th scope="col" data-number>Carried</th><th scope="col">Desktop</th></tr>
      </thead>
      <tbody>
        {sessions.map((session) => (
          <tr key={session.sessionId}>
            <td className="who">{session.name}</td>
            <td>{moment(Date.parse(session.started), Date.now())}</td>
            <td data-number>{duration(session.seconds)}</td>
            <td data-number>{bytes(session.bytesIn + session.bytesOut)}</td>
            <td><span className="badge" data-mood={session.desktop ? "good" : "busy"}>{session.desktop ? "Connected" : "Waiting"}</span></td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
