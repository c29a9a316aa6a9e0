import { useStore } from "../page/store";
import { bytes, duration, moment } from "../words";
import type { Desk } from "./desk";
import { reasonOf } from "./state";

/** The person's sessions, the live one and those that are over. */
export function SessionList({ desk }: { desk: Desk }) {
  const sessions = useStore(desk.state, (state) => state.sessions);
  return (
    <section className="card-box" aria-labelledby="sessions">
      <h2 id="sessions" className="text-base font-semibold">History</h2>
      {sessions === null ? (
        <div className="skeleton mt-4 h-24" />
      ) : sessions.length === 0 ? (
        <p className="mt-2 text-muted">There was none yet. Who, when, how long and how many bytes is kept of each; never what was said.</p>
      ) : (
        <table className="sheet">
          <thead>
            <tr><th scope="col">Started</th><th scope="col" data-number>Lasted</th><th scope="col" data-number>Carried</th><th scope="col">Ended</th></tr>
          </thead>
          <tbody>
            {sessions.map((session) => (
              <tr key={session.sessionId}>
                <td>{moment(Date.parse(session.started), Date.now())}</td>
                <td data-number>{duration(session.seconds)}</td>
                <td data-number>{bytes(session.bytesIn + session.bytesOut)}</td>
                <td>{session.live ? <span className="badge" data-mood="good">Running</span> : <span className="text-muted">{reasonOf(session)}</span>}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
