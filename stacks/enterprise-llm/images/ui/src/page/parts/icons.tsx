import type { ReactNode } from "react";

/** Drawn on a grid of 20, in the colour of the text; what they mean is said by the button around them. */
const PATHS = {
  plus: "M10 4v12M4 10h12",
  search: "M13.5 13.5 17 17M9 15A6 6 0 1 0 9 3a6 6 0 0 0 0 12z",
  menu: "M3 6h14M3 10h14M3 14h9",
  close: "m5 5 10 10M15 5 5 15",
  more: "M4.5 10h.01M10 10h.01M15.5 10h.01",
  send: "M10 16V4M5 9l5-5 5 5",
  copy: "M7 7V4.500A1.5 1.5 0 0 1 8.5 3h7A1.5 1.5 0 0 1 17 4.500v7a1.5 1.5 0 0 1-1.5 1.500H13M4.5 7h7A1.5 1.5 0 0 1 13 8.500v7a1.5 1.5 0 0 1-1.5 1.500h-7A1.5 1.5 0 0 1 3 15.500v-7A1.5 1.5 0 0 1 4.5 7z",
  check: "m4 10.5 4 4 8-9",
  retry: "M16 10a6 6 0 1 1-1.8-4.300L16 7.500M16 3.500v4h-4",
  down: "M10 4v12M5 11l5 5 5-5",
  sun: "M10 13.500a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM10 2v1.500M10 16.500V18M2 10h1.500M16.5 10H18M4.3 4.300l1.1 1.100M14.6 14.600l1.1 1.100M4.3 15.700l1.1-1.100M14.6 5.400l1.1-1.1",
  moon: "M16.5 11.600A6.8 6.8 0 0 1 8.4 3.500a6.8 6.8 0 1 0 8.1 8.100z",
  system: "M4 4h12a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM7 17h6M10 14v3",
  pencil: "m4 16 .8-3.500L13.3 4a1.5 1.5 0 0 1 2.1 0l.6.6a1.5 1.5 0 0 1 0 2.100L7.5 15.2 4 16z",
  bin: "M4 6h12M8 6V4.500A1 1 0 0 1 9 3.500h2a1 1 0 0 1 1 1V6M5.5 6l.7 9.600a1 1 0 0 0 1 .9h5.600a1 1 0 0 0 1-.9L14.5 6",
  back: "M16 10H4M9 5l-5 5 5 5",
  offline: "M3 3l14 14M5.5 9.200A7 7 0 0 1 8 7.700M2.8 6.600A11 11 0 0 1 5.5 5M8.3 12.300a3 3 0 0 1 3.3-.1M10 4a11 11 0 0 1 7.2 2.600M12.8 8a7 7 0 0 1 1.7 1.200M10 15.500h.01",
  cloud: "M6 15.500a3.8 3.8 0 0 1-.5-7.600 5 5 0 0 1 9.6 1.200 3.300 3.300 0 0 1-.4 6.400z",
  window: "M3.5 4h13a1 1 0 0 1 1 1v10a1 1 0 0 1-1 1h-13a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM2.5 7.500h15M5 5.800h.01M7 5.800h.01",
  tunnel: "M3 16v-4a7 7 0 0 1 14 0v4M7 16v-4a3 3 0 0 1 6 0v4M2 16h16",
} as const;

export type IconName = keyof typeof PATHS | "stop";

export function Icon({ name, size = 18 }: { name: IconName; size?: number }): ReactNode {
  return (
    <svg width={size} height={size} viewBox="0 0 20 20" fill="none" aria-hidden="true" focusable="false" className="shrink-0">
      {name === "stop" ? (
        <rect x="5" y="5" width="10" height="10" rx="2" fill="currentColor" />
      ) : (
        <path d={PATHS[name]} stroke="currentColor" strokeWidth={name === "more" ? 2.6 : 1.5} strokeLinecap="round" strokeLinejoin="round" />
      )}
    </svg>
  );
}
