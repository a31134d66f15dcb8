import { redis } from '@stowage/redis'
import { describe, expect, test } from 'vitest'

describe('options', () => {
  test.each([
    ['banana', /no redis:\/\/ or rediss:\/\/ URL/],
    ['http://127.0.0.1', /no redis:\/\/ or rediss:\/\/ URL/],
    ['redis://127.0.0.1/first', /number/],
    ['redis://127.0.0.1?family=6', /%3F/],
    ['redis://u:a%zz@127.0.0.1', /%25/],
  ])('the url %s is refused with the remedy', (url, remedy) => {
    expect(() => redis({ url })).toThrow(remedy)
  })

  test.each([
    [{ timeout: 0 }, /timeout must be between/],
    [{ timeout: Infinity }, /timeout must be between/],
    [{ connectTimeout: -5 }, /connectTimeout must be between/],
    [{ database: Number.NaN }, /database must be a whole number of at least/],
    [{ database: 1.5 }, /database must be a whole number of at least/],
    [{ maxValueBytes: 0 }, /maxValueBytes must be a whole number of at least/],
    [{ clusterNodes: ['a:1'], replicas: ['b:1'] }, /clusterNodes cannot go with replicas/],
    [{ clusterNodes: ['a:1'], url: 'redis://a/3' }, /a database other than 0/],
    [{ clusterNodes: ['a'] }, /a node of the cluster is given as host:port/],
    [{ consistency: 'banana' as 'strong' }, /consistency must be one of eventual, session, strong/],
    [
      { replicas: ['a:1'], replicaConnections: 0 },
      /replicaConnections must be a whole number of at least/,
    ],
    [{ assumedLag: -1 }, /assumedLag must be between/],
    [{ sentinels: ['a'] }, /a Sentinel is given as host:port/],
    [{ tls: {} }, /tls needs a rediss/],
    [{ url: 'rediss://127.0.0.1', tls: { cert: 'garbage' } }, /tls cannot be used/],
  ])('%o is refused with the remedy', (options, remedy) => {
    expect(() => redis(options)).toThrow(remedy)
  })
})
