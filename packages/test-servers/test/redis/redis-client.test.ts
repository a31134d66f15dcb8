import { createServer } from 'node:net'
import { command, type RedisServer, startRedis } from '@stowage/test-servers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

describe('command', () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await startRedis()
  })
  afterAll(() => server?.stop())
  const send = (...args: (string | number)[]) => command(server.port, ...args)

  test('resolves to every type of reply', async () => {
    expect(await send('SET', 'ключ', 'значение\r\n')).toBe('OK')
    expect(await send('GET', 'ключ')).toBe('значение\r\n')
    expect(await send('GET', 'none')).toBeNull()
    expect(await send('INCRBY', 'count', -7)).toBe(-7)
    expect(`${await send('NONSENSE')}`).toMatch(/^Error: ERR unknown command/)
    expect(await send('EVAL', "return {1, {'a', false}, {}, {err='E no'}}", 0)).toEqual([
      1,
      ['a', null],
      [],
      new Error('E no'),
    ])
  })

  test('reads a reply that arrives in many chunks', async () => {
    const large = 'x'.repeat(1024 * 1024)
    await send('SET', 'large', large)
    expect(await send('MGET', 'large', 'none', 'large')).toEqual([large, null, large])
  })

  test('rejects when there is no reply', async () => {
    const silent = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1')
    await expect.poll(() => silent.listening).toBe(true)
    const { port } = silent.address() as { port: number }
    await expect(command(port, 'PING')).rejects.toThrow(`PING on port ${port}`)
    await new Promise((resolve) => silent.close(resolve))
    await expect(command(port, 'PING')).rejects.toThrow('ECONNREFUSED')
  })
})
