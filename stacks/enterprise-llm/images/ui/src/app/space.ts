import { service } from "../api/service";
import type { Session } from "../api/types";
import { drafts, tabShelf } from "../chat/drafts";
import { workspace, type Workspace } from "../chat/workspace";
import { authorised } from "../page/api/http";
import type { User } from "../page/api/types";
import { atLogout, identity, tokens } from "../page/identity";
import { go, pathOf, route } from "./route";

let space: { of: string; workspace: Workspace } | null = null;
let { phase } = identity.get();

/** The workspace of the person who is logged in; it outlives a login that runs out and is renewed. */
export function workspaceOf(user: User): Workspace {
  if (space?.of === user.id) return space.workspace;
  leave();
  space = { of: user.id, workspace: workspace(service(authorised(tokens)), drafts(user.id, tabShelf()), begun) };
  void space.workspace.start();
  return space.workspace;
}

/** Whoever looks at the new chat goes on looking at it, under its own address. */
function begun(session: Session): void {
  const here = route.get();
  if (here.view === "chat" && here.id === null) go(pathOf(session.id), "replace");
}

function leave(): void {
  space?.workspace.close();
  space = null;
}

identity.subscribe(() => {
  const before = phase;
  const { user } = identity.get();
  ({ phase } = identity.get());
  if (!user || !space) return;
  // Another person has logged in, here or in another tab: nothing of the one before stays.
  if (space.of !== user.id) leave();
  else if (before === "out") void space.workspace.resume();
});

atLogout(() => {
  space?.workspace.drafts.clear();
  leave();
});

addEventListener("pagehide", () => space?.workspace.purge(true));
