const ALLOWED: ReadonlySet<string> = new Set(["http:", "https:", "mailto:"]);

/** The address if a link may lead there; null for scripts, data, this page's own places and all else. */
export function safeAddress(address: string): string | null {
  // Browsers drop these from an address before they read its scheme.
  // oxlint-disable-next-line no-control-regex
  const plain = address.replaceAll(/[\u0000-\u0020\u007f]/g, "");
  if (!URL.canParse(plain)) return null;
  const url = new URL(plain);
  return ALLOWED.has(url.protocol) ? url.href : null;
}
