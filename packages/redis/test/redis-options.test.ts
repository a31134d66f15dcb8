import { redis } from '@stowage/redis'
import { describe, expect, test } from 'vitest'

describe('invalid options are rejected with a remedy', () => {
  test.each([
    ['banana', /not a redis:\/\/ or rediss:\/\/ URL/],
    ['http://127.0.0.1', /not a redis:\/\/ or rediss:\/\/ URL/],
    ['redis://127.0.0.1/first', /number/],
    ['redis://127.0.0.1?family=6', /%3F/],
    ['redis://u:a%zz@127.0.0.1', /%25/],
  ])('url: %s', (url, remedy) => {
    expect(() => redis({ url })).toThrow(remedy)
  })

  test.each([
    [{ timeout: 0 }, /timeout must be between/],
    [{ timeout: Infinity }, /timeout must be between/],
    [{ connectTimeout: -5 }, /connectTimeout must be between/],
    [{ database: Number.NaN }, /database must be a whole number of at least/],
    [{ database: 1.5 }, /database must be a whole number of at least/],
    [{ maxValueBytes: 0 }, /maxValueBytes must be a whole number of at least/],
    [{ clusterNodes: ['a:1'], replicas: ['b:1'] }, /clusterNodes cannot be combined with replicas/],
    [{ clusterNodes: ['a:1'], url: 'redis://a/3' }, /a database other than 0/],
    [{ clusterNodes: ['a'] }, /each entry of clusterNodes must be host:port/],
    [{ consistency: 'banana' as 'strong' }, /consistency must be one of eventual, session, strong/],
    [
      { replicas: ['a:1'], replicaConnections: 0 },
      /replicaConnections must be a whole number of at least/,
    ],
    [{ replicas: ['a'] }, /each entry of replicas must be host:port or a URL/],
    [{ assumedLag: -1 }, /assumedLag must be between/],
    [{ sentinels: ['a'] }, /each entry of sentinels must be host:port/],
    [{ tls: {} }, /tls requires a rediss/],
    [{ url: 'rediss://127.0.0.1', tls: { cert: 'garbage' } }, /tls is invalid/],
  ])('%o', (options, remedy) => {
    expect(() => redis(options)).toThrow(remedy)
  })
})
