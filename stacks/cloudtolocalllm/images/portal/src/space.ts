import { service, type Service } from "./api/service";
import { authorised } from "./page/api/http";
import type { User } from "./page/api/types";
import { atLogout, identity, tokens } from "./page/identity";
import { store } from "./page/store";
import { desk, type Desk } from "./session/desk";
import type { Settings } from "./settings";
import { conversation, type Conversation } from "./try/talk";

export const settings = store<Settings | "missing" | null>(null);

/** What belongs to the person who is logged in; it outlives a login that runs out and is renewed. */
export interface Space {
  readonly of: string;
  readonly service: Service;
  readonly desk: Desk;
  readonly conversation: Conversation;
}

let space: Space | null = null;

export function spaceOf(user: User, { api }: Settings): Space {
  if (space?.of === user.id) return space;
  leave();
  const calls = service(authorised(tokens), api);
  space = { of: user.id, service: calls, desk: desk(calls, tokens), conversation: conversation() };
  return space;
}

function leave(): void {
  space?.conversation.clear();
  space?.desk.close();
  space = null;
}

identity.subscribe(() => {
  const { user } = identity.get();
  if (!space || !user) return;
  // Another person has logged in, here or in another tab: nothing of the one before stays.
  if (space.of !== user.id) leave();
  else space.desk.hurry();
});

atLogout(leave);
