import { createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'

/** A server that replies to each line. Without a reply, it closes the connection. */
export async function startTextServer(replyTo: (line: string) => string | undefined) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    state.accepted++
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
    socket.on('data', (data) => {
      const replies = String(data).trim().split('\r\n').map(replyTo)
      if (replies.includes(undefined)) socket.end()
      else socket.write(`${replies.join('\r\n')}\r\n`)
    })
  })
  const state = { accepted: 0, sockets, port: 0 }
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  state.port = (server.address() as { port: number }).port
  return state
}

export const isVersion = (line: string): boolean => line === 'version'

/** The replies to the first commands of a client. */
export function replyToHandshake(line: string): string {
  if (isVersion(line)) return 'VERSION 1.6.9'
  if (line === 'stats settings') return 'STAT item_size_max 1048576\r\nEND'
  return line === 'mn' ? 'MN' : 'EN'
}

/** The same. The last one to the first client comes with one to a request that was not sent. */
export function replyTooMuchOnce(): (line: string) => string {
  let noops = 0
  return (line) => {
    const isLast = line === 'mn' && ++noops === 2
    return replyToHandshake(line) + (isLast ? '\r\nHD' : '')
  }
}
