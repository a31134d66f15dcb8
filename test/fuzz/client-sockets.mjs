import { subscribe, unsubscribe } from 'node:diagnostics_channel'

/** @typedef {import('node:net').Socket} Socket */

/** Counts the open client sockets of this process that are connected, or connecting, to a port. @param {number} port */
export function watchSockets(port) {
  /** @type {Set<Socket>} */
  const sockets = new Set()
  const onSocket = (/** @type {any} */ { socket }) => sockets.add(socket)
  subscribe('net.client.socket', onSocket)
  const isOpen = (/** @type {Socket} */ socket) =>
    !socket.destroyed && (socket.connecting || socket.remotePort === port)
  return {
    open: () => [...sockets].filter(isOpen).length,
    stop: () => unsubscribe('net.client.socket', onSocket),
  }
}
