/** Chosen by whoever started the node: said wherever alarms are, and no reason to wait or to refuse. */
const CHOSEN: ReadonlySet<string> = new Set(['UNSAFESYNC'])

/** The alarms that keep a node from being well. */
export function urgent(alarms: readonly string[]): readonly string[] {
  return alarms.filter((alarm) => !CHOSEN.has(alarm))
}
