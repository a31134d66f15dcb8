import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** Returns the events that a channel publishes while `run` lasts. */
export async function eventsDuring(
  channel: string,
  run: () => Promise<unknown>,
): Promise<unknown[]> {
  const events: unknown[] = []
  const listener = (event: unknown) => void events.push(event)
  subscribe(channel, listener)
  try {
    await run()
  } finally {
    unsubscribe(channel, listener)
  }
  return events
}
