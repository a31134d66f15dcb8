import { Cluster, Redis } from 'ioredis'

type SendCommand = (command: { name: string }, ...rest: unknown[]) => unknown

/** The names of the commands that have passed the wrapped methods. */
export const sentCommands: string[] = []

/** Wraps `sendCommand` of the ioredis clients, as tools for tracing do. Returns a function that restores it. */
export function wrapSendCommand(): () => void {
  const restore = [Redis.prototype, Cluster.prototype].map((prototype) => {
    const target = prototype as unknown as Record<'sendCommand', SendCommand>
    const original = target.sendCommand
    target.sendCommand = function (command, ...rest) {
      sentCommands.push(command.name)
      return original.call(this, command, ...rest)
    }
    return () => {
      target.sendCommand = original
    }
  })
  return () => {
    for (const each of restore) each()
  }
}

if (process.env.WRAP_SEND_COMMAND === '1') {
  wrapSendCommand()
  // The tests of a file would collect the commands of all.
  sentCommands.push = () => 0
}
