import { once } from 'node:events'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import express, { type RequestHandler } from 'express'
import { describe, expect, onTestFinished, test } from 'vitest'
import { type Listener, parse, serve, setupCache } from './fixture.ts'
import { forms } from './forms.ts'

/** Both sides have the same key, so that no certificate is needed. */
const tls = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const
const psk = Buffer.alloc(16, 1)

/** Starts a server of HTTPS. Returns a function that sends a request with a connection of its own. */
async function serveTls(listener: Listener) {
  const server = createServer({ ...tls, pskCallback: () => psk }, (request, response) => {
    listener(request, response)
  }).listen(0, '127.0.0.1')
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return async (path: string) => {
    const client = connect({
      ...tls,
      port,
      host: '127.0.0.1',
      servername: 'h.test',
      pskCallback: () => ({ psk, identity: 'client' }),
      checkServerIdentity: () => undefined,
    })
    client.write(`GET ${path} HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n`)
    return parse(Buffer.concat(await client.toArray()))
  }
}

const readers: Record<string, (socket: TLSSocket) => unknown> = {
  alpnProtocol: ({ alpnProtocol }) => alpnProtocol,
  authorized: ({ authorized }) => authorized,
  bytesRead: ({ bytesRead }) => bytesRead,
  bytesWritten: ({ bytesWritten }) => bytesWritten,
  exportKeyingMaterial: (socket) =>
    socket.exportKeyingMaterial(16, 'EXPORTER-test', Buffer.alloc(0)).toString('hex'),
  getCipher: (socket) => socket.getCipher().name,
  getEphemeralKeyInfo: (socket) => socket.getEphemeralKeyInfo(),
  getFinished: (socket) => socket.getFinished()?.toString('hex'),
  getPeerCertificate: (socket) => socket.getPeerCertificate(),
  getPeerFinished: (socket) => socket.getPeerFinished()?.toString('hex'),
  getPeerX509Certificate: (socket) => socket.getPeerX509Certificate(),
  getProtocol: (socket) => socket.getProtocol(),
  getSession: (socket) => socket.getSession()?.toString('hex'),
  getSharedSigalgs: (socket) => socket.getSharedSigalgs(),
  getTLSTicket: (socket) => socket.getTLSTicket()?.toString('hex'),
  isSessionReused: (socket) => socket.isSessionReused(),
  servername: (socket) => Reflect.get(socket, 'servername'),
}

describe.each(Object.entries(forms))('%s, over HTTPS', (_, form) => {
  test.each(Object.keys(readers))('what a connection says about its client: %s', async (name) => {
    const { cache } = setupCache()
    const app = express()
    const handler: RequestHandler = ({ socket }, response) => {
      response.send(`${readers[name]?.(socket as TLSSocket)}`)
    }
    app.get('/p', ...form({ cache }, handler))
    const get = await serveTls(app)
    const first = await get('/p')
    expect(first).toMatchObject({ status: 200, cache: `fwd=uri-miss; detail=read-socket.${name}` })
    expect((await get('/p')).cache).toContain('fwd=uri-miss')
  })

  test('the scheme is part of the key', async () => {
    const { cache } = setupCache()
    const app = express()
    app.get('/p', ...form({ cache }, ({ protocol }, response) => void response.send(protocol)))
    const [get, plain] = [await serveTls(app), await serve(app)]
    for (const cached of ['stored', 'hit']) {
      expect(await get('/p')).toMatchObject({ body: 'https', cache: expect.stringMatching(cached) })
      const reply = await plain.get('/p', { host: 'h.test' })
      expect(reply).toMatchObject({ body: 'http', cache: expect.stringMatching(cached) })
    }
  })
})
