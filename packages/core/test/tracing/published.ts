import { type CallEvent, type LoadCallEvent, type RequestEvent, tracing } from '@stowage/core'

interface Events {
  cache: CallEvent
  store: RequestEvent
  load: LoadCallEvent
}

/** Returns the events of the operations that end while `work` runs, each as it is when it has ended. */
export async function tracedDuring<Name extends keyof Events>(
  name: Name,
  work: () => unknown,
): Promise<Events[Name][]> {
  const events: Events[Name][] = []
  const listener = (event: unknown) => void events.push(event as Events[Name])
  const handlers = { start: () => {}, asyncEnd: listener }
  tracing[name].subscribe(handlers as never)
  try {
    await work()
  } finally {
    tracing[name].unsubscribe(handlers as never)
  }
  return events
}
