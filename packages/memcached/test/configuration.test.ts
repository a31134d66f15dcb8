import { describe, expect, test } from 'vitest'
import { parseConfiguration, textOf } from '../src/discovery/configuration.ts'

const text = '12\na.cache|10.0.0.1|11211 b.cache|10.0.0.2|11212\n'

function reply(body: string, { bytes = Buffer.byteLength(body), head = 'CONFIG cluster' } = {}) {
  return Buffer.from(`${head} 0 ${bytes}\r\n${body}\r\nEND\r\n`)
}

describe('the reply', () => {
  test.each(['CONFIG cluster', 'VALUE AmazonElastiCache:cluster'])('of %s', (head) => {
    expect(textOf(reply(text, { head }))).toBe(text)
  })

  test.each(['ERROR\r\n', 'END\r\n'])('of a server without a cluster: %j', (none) => {
    expect(textOf(Buffer.from(none))).toBeNull()
  })

  test('is complete at the byte it says, and not before', () => {
    const bytes = reply(text)
    const complete = bytes.length - 'END\r\n'.length
    for (let length = 0; length < complete; length++) {
      expect(textOf(bytes.subarray(0, length)), `${length} bytes`).toBeUndefined()
    }
    expect(textOf(bytes.subarray(0, complete))).toBe(text)
  })

  test('is counted in bytes, and ends where it says whatever stands there', () => {
    expect(textOf(reply('1\nключ|10.0.0.1|11211\n'))).toBe('1\nключ|10.0.0.1|11211\n')
    expect(textOf(reply('1\na\n\r\nb|10.0.0.1|11211'))).toBe('1\na\n\r\nb|10.0.0.1|11211')
  })

  test.each([80, 0, 3])('with a wrong length, %i, ends with its last line', (bytes) => {
    const wrong = reply(text, { bytes })
    expect(textOf(wrong)).toBe(text.trimEnd())
    // As Memorystore's emulator sends it, without END.
    expect(textOf(wrong.subarray(0, -5))).toBe(text.trimEnd())
  })

  test.each(['HTTP/1.1 400 Bad Request\r\n', 'SERVER_ERROR busy\r\n', 'CONFIG cluster 0 -1\r\n'])(
    'that is none: %j',
    (garbage) => {
      expect(() => textOf(Buffer.from(garbage))).toThrow('is no configuration')
    },
  )

  test('without end is not waited for', () => {
    expect(() => textOf(Buffer.alloc(70_000, 'x'))).toThrow('too long')
    const endless = Buffer.from(`CONFIG cluster 0 99999999\r\n${'x'.repeat(70_000)}`)
    expect(() => textOf(endless)).toThrow('too long')
  })
})

describe('the configuration', () => {
  test('has a version and nodes', () => {
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
    ['the name for an address, with TLS', 'a|a|1', { host: 'a', port: 1 }],
    [
      'the address for a name, on Memorystore',
      '10.0.0.1|10.0.0.1|1',
      { host: '10.0.0.1', port: 1 },
    ],
    ['IPv6', 'a|fd00::1|1', { host: 'a', ip: 'fd00::1', port: 1 }],
    ['IPv6 in brackets', '[fd00::1]|[fd00::1]|1', { host: 'fd00::1', port: 1 }],
  ])('with %s', (_, node, address) => {
    expect(parseConfiguration(`1\n${node}\n`).nodes).toEqual([address])
  })

  test('separated by any white space', () => {
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
  ])('that cannot be understood: %j', (wrong, problem) => {
    expect(() => parseConfiguration(wrong)).toThrow(problem)
  })
})
