import { memcachedBytesGroup } from '../lib/memcached-group.mjs'

export default memcachedBytesGroup(3)
