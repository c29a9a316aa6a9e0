import { useState } from "react";
import { words } from "../page/api/errors";
import { identity } from "../page/identity";
import { useStore } from "../page/store";
import type { Oidc } from "../settings";
import { leave, trouble } from "./issuer";

/** The way to the issuer's own log-in page. */
export function IssuerLogin({ oidc, name }: { oidc: Oidc; name: string }) {
  const reason = useStore(identity, (value) => value.reason);
  const refused = useStore(trouble, (value) => value);
  const [leaving, setLeaving] = useState(false);

  async function go(): Promise<void> {
    setLeaving(true);
    trouble.set(null);
    try {
      await leave(oidc);
    } catch (error) {
      setLeaving(false);
      trouble.set(words(error));
    }
  }

  return (
    <main className="grid min-h-dvh place-items-center px-5 py-10">
      <div className="w-full max-w-sm">
        <img src="/mark.svg" alt="" width={40} height={40} className="mb-6" />
        <h1 className="text-2xl font-semibold tracking-tight">Log in</h1>
        <p className="mt-1.5 mb-8 text-muted">to {name}, at {new URL(oidc.issuer).host}</p>
        {reason !== null && <p className="note mb-6" role="status">{reason}</p>}
        <div role="alert">{refused !== null && <p className="note danger mb-6">{refused}</p>}</div>
        <button type="button" className="primary w-full" disabled={leaving} onClick={() => void go()}>{leaving ? "One moment…" : "Log in"}</button>
      </div>
    </main>
  );
}
