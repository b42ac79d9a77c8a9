"""Where runs are executed: in this process, or in several of this machine.

One module an engine (see `Engine`); an engine decides nothing: what is reused, what waits and where
data is made is decided in `kpbench.running.execute`.
"""
