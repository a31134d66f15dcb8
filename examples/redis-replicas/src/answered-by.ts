import { AsyncLocalStorage } from 'node:async_hooks'
import { tracingChannel } from 'node:diagnostics_channel'

/** What ioredis says of each command, by https://github.com/redis/ioredis#diagnostics-channel. */
interface Command {
  readonly command: string
  readonly serverAddress: string
  readonly serverPort: number
}

interface Answered {
  address: string | undefined
}

const reads = new AsyncLocalStorage<Answered>()

// The last server asked is the one that answered: those before it were asked in vain.
tracingChannel<unknown, Command>('ioredis:command').start.subscribe((message) => {
  const { command, serverAddress, serverPort } = message as Command
  const read = reads.getStore()
  if (read && /^m?get$/i.test(command)) read.address = `${serverAddress}:${serverPort}`
})

/** The result of a read, and the `host:port` of the server it came from. */
export async function answeredBy<T>(
  read: () => Promise<T>,
): Promise<{ value: T; address: string | undefined }> {
  const answered: Answered = { address: undefined }
  const value = await reads.run(answered, read)
  return { value, address: answered.address }
}
