import { clock, useSecondsUntil } from "../page/parts/hooks";
import { Icon, type IconName } from "../page/parts/icons";
import { useStore } from "../page/store";
import type { Desk } from "./desk";
import { stageOf, wayOf, type State } from "./state";

type Mood = "good" | "busy" | "off";

/** The way from this browser to the desktop, and how far it is open. */
export function Path({ desk }: { desk: Desk }) {
  const state = useStore(desk.state, (value) => value);
  const up = useStore(desk.reach.up, (value) => value);
  const left = useSecondsUntil(state.link?.phase === "waiting" ? state.link.until : null);
  const tunnelled = wayOf(state) === "tunnel";
  const middle = tunnelled ? "good" : middleMood(state);
  const desktop: Mood = stageOf(state) === "connected" ? "good" : middle === "good" ? "busy" : "off";
  const said = { good: "connected", busy: left > 0 ? `again in ${clock(left)}` : "connecting…", off: "not connected" }[middle];
  return (
    <ol className="path" aria-label="The way to your models">
      <Stop icon="window" name="This browser" said={up ? "online" : "offline"} mood={up ? "good" : "busy"} leg={middle} />
      <Stop icon={tunnelled ? "tunnel" : "cloud"} name={tunnelled ? "ngrok tunnel" : "Cloud proxy"} said={said} mood={middle} leg={desktop} />
      <Stop icon="system" name="Your desktop" said={{ good: "connected", busy: "waiting…", off: "not known" }[desktop]} mood={desktop} leg={null} />
    </ol>
  );
}

function middleMood({ link }: State): Mood {
  if (link?.phase === "open") return "good";
  return link ? "busy" : "off";
}

interface StopProps {
  icon: IconName;
  name: string;
  said: string;
  mood: Mood;
  /** How the way to the next stop is. */
  leg: Mood | null;
}

function Stop({ icon, name, said, mood, leg }: StopProps) {
  return (
    <li data-mood={mood} data-leg={leg ?? undefined}>
      <span className="stop"><Icon name={icon} size={22} /></span>
      <span className="name">{name}</span>
      <span className="said">{said}</span>
    </li>
  );
}
