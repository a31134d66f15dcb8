import { connect } from 'node:net'
import { decodeReply, encodeCommand, type RedisReply } from './resp.ts'

/** Address on which all servers listen. */
export const host = '127.0.0.1'
const replyTimeoutMs = 15_000

export interface RedisAddress {
  readonly host: string
  readonly port: number
}

/**
 * Sends one command to the Redis server on `port`, over its own connection. An error reply resolves to an `Error`. The
 * promise rejects when there is no reply.
 */
export function command(port: number, ...args: (string | number)[]): Promise<RedisReply> {
  return new Promise((resolve, reject) => {
    const fail = (reason: string) => reject(new Error(`${args[0]} on port ${port}: ${reason}`))
    const socket = connect(port, host, () => socket.write(encodeCommand(args)))
    const timer = setTimeout(() => socket.destroy(new Error('no reply')), replyTimeoutMs)
    let received = Buffer.alloc(0)
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      const reply = decodeReply(received, 0)
      if (reply === undefined) return
      resolve(reply.value)
      socket.destroy()
    })
    socket.on('error', (error) => fail(error.message))
    socket.on('close', () => {
      clearTimeout(timer)
      fail('the connection was closed')
    })
  })
}

/** Like `command`, but an error reply rejects. */
export async function commandOrThrow(
  port: number,
  ...args: (string | number)[]
): Promise<RedisReply> {
  const reply = await command(port, ...args)
  if (reply instanceof Error) throw reply
  return reply
}

export function addressOf(port: number): RedisAddress {
  return { host, port }
}
