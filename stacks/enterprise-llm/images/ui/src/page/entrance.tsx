import { useEffect, useState, type ReactNode } from "react";
import type { User } from "./api/types";
import { begin, config, identity } from "./identity";
import { LoginPage } from "./login";
import { useStore } from "./store";

interface Props {
  children: (user: User) => ReactNode;
  /** Another log-in page than that of the auth service. */
  login?: ReactNode;
}

/** The log-in page, until somebody is in. */
export function Entrance({ children, login }: Props) {
  const { phase, user } = useStore(identity, (value) => value);
  const name = useStore(config, (value) => value?.name);
  useEffect(() => {
    if (phase === "out" && name !== undefined) document.title = name;
  }, [phase, name]);
  if (phase === "in" && user) return children(user);
  if (phase === "out") return login ?? <LoginPage />;
  if (phase === "unreachable") return <Unreached />;
  return <Starting />;
}

const AGAIN_MS = 3000;

function Unreached() {
  useEffect(() => {
    const timer = setInterval(() => void begin(), AGAIN_MS);
    const online = () => void begin();
    addEventListener("online", online);
    return () => {
      clearInterval(timer);
      removeEventListener("online", online);
    };
  }, []);
  return (
    <main className="grid h-dvh place-items-center px-5">
      <div className="max-w-sm" role="alert">
        <img src="/mark.svg" alt="" width={40} height={40} className="mb-6" />
        <h1 className="text-2xl font-semibold tracking-tight">The server cannot be reached</h1>
        <p className="mt-2 mb-6 text-muted">This page tries again by itself every few seconds.</p>
        <button type="button" className="secondary" onClick={() => void begin()}>Try now</button>
      </div>
    </main>
  );
}

/** Nothing at first, so that a quick start does not flicker. */
function Starting() {
  const [slow, setSlow] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setSlow(true), 600);
    return () => clearTimeout(timer);
  }, []);
  return <main className="grid h-dvh place-items-center"><h1 className={slow ? "text-muted" : "sr-only"}>One moment…</h1></main>;
}
