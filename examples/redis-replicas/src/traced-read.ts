import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'

/** The event that ioredis publishes for each command: https://github.com/redis/ioredis#diagnostics-channel */
interface CommandEvent {
  readonly command: string
  readonly serverAddress: string
  readonly serverPort: number
}

export interface TracedRead<T> {
  readonly value: T
  /** `host:port` of the server that returned the value. */
  readonly address: string | undefined
}

const reads = new AsyncLocalStorage<{ address: string | undefined }>()

// If a read tries several servers, the last one returned the value.
tracingChannel<unknown, CommandEvent>('ioredis:command').start.subscribe((message) => {
  const { command, serverAddress, serverPort } = message as CommandEvent
  const read = reads.getStore()
  if (read && /^m?get$/i.test(command)) read.address = `${serverAddress}:${serverPort}`
})

/** Calls `read`, and reports which server returned its value. */
export async function traceRead<T>(read: () => Promise<T>): Promise<TracedRead<T>> {
  const trace = { address: undefined as string | undefined }
  const value = await reads.run(trace, read)
  return { value, address: trace.address }
}
