"""The harness is measured by the faults that it finds.

places      random networks in which each fault can be planted
trials      one fault in one network: is it caught, where, and by what name
whole       faults of whole subjects, and of optimisers' steps
scores      the trials counted
page        the scores as a document
"""
