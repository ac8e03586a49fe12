@_exported import KraftEngine
@_exported import KraftRouting
@_exported import RaftCore
