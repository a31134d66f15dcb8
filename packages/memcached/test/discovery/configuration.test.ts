import { describe, expect, test } from 'vitest'
import { parseConfiguration, readReply } from '../../src/discovery/configuration.ts'

const text = '12\na.cache|10.0.0.1|11211 b.cache|10.0.0.2|11212\n'

function reply(body: string, { bytes = Buffer.byteLength(body), head = 'CONFIG cluster' } = {}) {
  return Buffer.from(`${head} 0 ${bytes}\r\n${body}\r\nEND\r\n`)
}

describe('readReply', () => {
  test.each(['CONFIG cluster', 'VALUE AmazonElastiCache:cluster'])(
    'returns the text of %s',
    (head) => {
      expect(readReply(reply(text, { head }))).toBe(text)
    },
  )

  test.each(['ERROR\r\n', 'END\r\n'])('returns null for %j', (line) => {
    expect(readReply(Buffer.from(line))).toBeNull()
  })

  test('returns undefined until the declared number of bytes has arrived', () => {
    const bytes = reply(text)
    const end = bytes.length - 'END\r\n'.length
    for (let length = 0; length < end; length++) {
      expect(readReply(bytes.subarray(0, length)), `${length} bytes`).toBeUndefined()
    }
    expect(readReply(bytes.subarray(0, end))).toBe(text)
  })

  test('counts bytes, not characters, and accepts line ends inside the text', () => {
    expect(readReply(reply('1\nключ|10.0.0.1|11211\n'))).toBe('1\nключ|10.0.0.1|11211\n')
    expect(readReply(reply('1\na\n\r\nb|10.0.0.1|11211'))).toBe('1\na\n\r\nb|10.0.0.1|11211')
  })

  test.each([80, 0, 3])('ends at the last line if the declared length, %i, is wrong', (bytes) => {
    const wrong = reply(text, { bytes })
    expect(readReply(wrong)).toBe(text.trimEnd())
    // Memorystore's emulator does not send END.
    expect(readReply(wrong.subarray(0, -5))).toBe(text.trimEnd())
  })

  test.each([
    '\r\n',
    'HTTP/1.1 400 Bad Request\r\n',
    'SERVER_ERROR busy\r\n',
    'CONFIG cluster 0 -1\r\n',
  ])('rejects %j', (malformed) => {
    expect(() => readReply(Buffer.from(malformed))).toThrow('is not a configuration')
  })

  test('rejects a reply that is too long', () => {
    expect(readReply(Buffer.alloc(65_536, 'x'))).toBeUndefined()
    expect(() => readReply(Buffer.alloc(65_537, 'x'))).toThrow('too long')
    const endless = Buffer.from(`CONFIG cluster 0 99999999\r\n${'x'.repeat(70_000)}`)
    expect(() => readReply(endless)).toThrow('too long')
  })
})

describe('parseConfiguration', () => {
  test('returns the version and the nodes', () => {
    expect(parseConfiguration(text)).toEqual({
      version: 12,
      nodes: [
        { host: 'a.cache', ip: '10.0.0.1', port: 11211 },
        { host: 'b.cache', ip: '10.0.0.2', port: 11212 },
      ],
    })
  })

  test.each([
    ['no address', 'a.cache||11211', { host: 'a.cache', port: 11211 }],
    ['the host name instead of the address, as with TLS', 'a|a|1', { host: 'a', port: 1 }],
    [
      'the address instead of the host name, as on Memorystore',
      '10.0.0.1|10.0.0.1|1',
      { host: '10.0.0.1', port: 1 },
    ],
    ['IPv6', 'a|fd00::1|1', { host: 'a', ip: 'fd00::1', port: 1 }],
    ['IPv6 in brackets', '[fd00::1]|[fd00::1]|1', { host: 'fd00::1', port: 1 }],
  ])('reads a node with %s', (_, node, address) => {
    expect(parseConfiguration(`1\n${node}\n`).nodes).toEqual([address])
  })

  test('separates nodes by any white space', () => {
    const { nodes } = parseConfiguration('7\r\na||1   b||2 \n c||3 \r\n')
    expect(nodes.map(({ host }) => host)).toEqual(['a', 'b', 'c'])
  })

  test.each([
    ['', 'no version'],
    ['\n\n', 'no version'],
    ['a||1', 'no version'],
    ['1.5\na||1', 'no version'],
    ['1\n', 'no nodes'],
    ['1\na||1 a||1', 'same node twice'],
    ['1\na|10.0.0.1|1 a|10.0.0.2|1', 'same node twice'],
    ['1\na||1 b', 'not host|ip|port'],
    ['1\n||1', 'not host|ip|port'],
    ['1\na|1', 'not host|ip|port'],
    ['1\na||0', 'not host|ip|port'],
    ['1\na||65536', 'not host|ip|port'],
    ['1\na||1e3', 'not host|ip|port'],
    ['1\na||1|2', 'not host|ip|port'],
  ])('rejects %j: %s', (malformed, problem) => {
    expect(() => parseConfiguration(malformed)).toThrow(problem)
  })
})
