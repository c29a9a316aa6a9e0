import { store } from "../page/store";

export type Route = { view: "chat"; id: string | null } | { view: "users" };

export function routeOf(path: string): Route {
  if (path === "/users") return { view: "users" };
  const [, id] = /^\/c\/([^/]+)$/.exec(path) ?? [];
  return { view: "chat", id: id === undefined ? null : decodeURIComponent(id) };
}

export function pathOf(id: string | null): string {
  return id === null ? "/" : `/c/${encodeURIComponent(id)}`;
}

export const route = store<Route>(routeOf(location.pathname));

export function go(path: string, how: "push" | "replace" = "push"): void {
  if (path !== location.pathname) history[how === "push" ? "pushState" : "replaceState"](null, "", path);
  route.set(routeOf(path));
}

addEventListener("popstate", () => route.set(routeOf(location.pathname)));

/** For links of this page: followed here, unless the browser is to open them elsewhere. */
export function follow(event: React.MouseEvent<HTMLAnchorElement>, then?: () => void): void {
  if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || event.button !== 0) return;
  event.preventDefault();
  go(event.currentTarget.pathname);
  then?.();
}
