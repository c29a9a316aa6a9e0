/**
 * What has been typed and not sent, by person and chat. It survives a reload and a new login in this tab, and is gone with the
 * tab or at the log-out. A message on its way is kept here too, until the gateway has it.
 */
export interface Drafts {
  read(chat: string | null): string;
  write(chat: string | null, text: string): void;
  clear(): void;
}

type Shelf = Pick<Storage, "getItem" | "setItem" | "removeItem" | "key" | "length">;

export function drafts(user: string, shelf: Shelf | null): Drafts {
  const prefix = `draft:${user}:`;
  const memory = new Map<string, string>();
  const name = (chat: string | null) => prefix + (chat ?? "new");
  return {
    read: (chat) => memory.get(name(chat)) ?? shelf?.getItem(name(chat)) ?? "",
    write(chat, text) {
      if (text === "") {
        memory.delete(name(chat));
        shelf?.removeItem(name(chat));
        return;
      }
      memory.set(name(chat), text);
      try {
        shelf?.setItem(name(chat), text);
      } catch {
        // Full, or forbidden: memory has it.
      }
    },
    clear() {
      memory.clear();
      if (!shelf) return;
      const names = Array.from({ length: shelf.length }, (_, i) => shelf.key(i));
      for (const one of names) if (one?.startsWith(prefix)) shelf.removeItem(one);
    },
  };
}

/** The tab's storage; null where the browser keeps none. */
export function tabShelf(): Storage | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}
