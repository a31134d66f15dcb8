import { memcachedBytesGroup } from '../lib/workloads/memcached-group.mjs'

export default memcachedBytesGroup(3)
